"""Tests of the documentation: generated pages are current, and commands do what the pages say."""
