"""Parameter and optimizer-state names between PyTorch and MindSpore, both ways.

`layers` is the table, `network` applies it to a live PyTorch network, `optimizer` does the same for optimizer
state, `repair` compares two lists of names when there is no network at hand. Nothing here imports a framework.
"""
