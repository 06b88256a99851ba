"""Programs of this repository: the generated pages of docs/, and the pictures of README.md."""
