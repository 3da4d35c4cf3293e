"""Pictures: their bytes, their files, their sizes."""
