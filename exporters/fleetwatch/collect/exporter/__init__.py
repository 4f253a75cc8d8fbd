"""Sources about the program itself."""
