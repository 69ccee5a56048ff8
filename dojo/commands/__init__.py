"""The commands of `dojo`, one file each: parse the call, call the engine, show the result."""
