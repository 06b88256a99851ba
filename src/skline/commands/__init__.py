"""One file a group of commands: `add(commands)` declares them, a function each carries them out."""
