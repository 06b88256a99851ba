"""`skline init`: from anybody's table to a project."""
