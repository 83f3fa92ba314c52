"""Python functions as trials: what they may ask, the process that calls them, the decorator."""
