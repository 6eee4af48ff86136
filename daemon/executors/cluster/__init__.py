"""Workers on the machines of a Ray cluster, behind the executors' protocol.

`executor` is in the daemon and imports no ray. It starts `gateway`, a process that is the cluster's
driver: Ray ends its driver when the cluster's head dies and takes over SIGTERM, and neither may
happen to the daemon. The gateway has a `remote_worker` for each worker, whose other end, on a
machine of the cluster, is `host`: an actor that runs a process executor. So what a photograph does
to a worker is seen there as exactly as on one machine, and the end of an actor is never a
photograph's fault.
"""
