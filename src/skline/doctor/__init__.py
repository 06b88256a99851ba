"""`skline doctor`: checks that find problems in the project of the current folder, one file for each subject."""
