"""`skline doctor`: what is wrong with the project in this folder, and what to do about it; one file a subject."""
