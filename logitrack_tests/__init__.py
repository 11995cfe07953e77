"""Tests of logitrack; the folders mirror the packages."""
