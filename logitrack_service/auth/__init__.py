"""Authentication and authorisation: accounts, logins, sessions, access tokens, role guards."""
