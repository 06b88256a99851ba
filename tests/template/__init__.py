"""Tests of the template itself, which are never copied into a project."""
