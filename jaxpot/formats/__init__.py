"""Published model files. Each reader checks all it reads, and refuses a file with its line and field."""
