"""What vocabularies are read with: everything in this folder that is none itself."""
