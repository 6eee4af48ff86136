"""The page: people look at the queue and at results in a browser, and ask for more.

A process of its own. It reads the ledger and writes only what any member of the station's group
could: files into inboxes, and requests. It holds neither the daemon's lock nor torch.
"""
