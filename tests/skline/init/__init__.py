"""Tests of `skline init`."""
