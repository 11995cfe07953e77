"""What the `logitrack` command does, a module for each command that is more than a call."""
