"""Training and inference in processes of their own, so that the daemon answers while they compute.

    ``channel``   frames over a local socket: a small JSON head and raw arrays, bounded
    ``messages``  what is said, as frozen typed records
    ``faults``    errors across the process boundary
    ``host``      the daemon's side: start, ask, cancel, restart
    ``child``     the process's side
    ``learner``   the hospital's images and what is learnt from them, in the process
    ``training``  the daemon's `Learner`: asks a process, keeps its checkpoints sealed
    ``asking``    the daemon's side of inference: its own process, a short queue, gone when idle

The process holds no key, opens no connection and writes no file: a checkpoint goes to the daemon, which seals it.
"""
