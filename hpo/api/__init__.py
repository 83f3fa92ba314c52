"""The public door: what `import hpo` gives, and what the command line calls."""
