"""How the demo checkpoint is made: settings, data, forward passes, loss, loop, checkpoints."""
