"""Sources about a machine. They read files, never start programs and need no rights of root for what they show."""
