"""Tests of the template itself: never copied into a project made from it."""
