"""What a beginner gets wrong with a node: looked at, judged, and what to do about it.

    ``verdict``    a check's outcome
    ``local``      this machine: configuration, secrets, data, disk, port, software
    ``chainside``  the chain: endpoint, contracts, clock, account, funds, key, plan
    ``network``    the other members, as seen from here
    ``examine``    looks at everything, in order; the only place that asks the chain and the network

Judgements are functions of what was found and ask nobody; `examine` finds it.
"""
