"""What becomes of trained models: smaller ones, files for other programs, times."""
