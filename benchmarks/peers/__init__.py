"""Other systems for federated learning, run as their makers deploy them, beside ours: `python -m benchmarks.round --peers`.

environments  a virtual environment each, below `.cache/peers`, from the package index; torch and numpy are ours
running       starts a system's processes, watches their memory, reads what they wrote
local         what a client does, the same in all: train, score, on the hospitals' images, with `node.learning`
flower        Flower: SuperLink and SuperNodes              flower_app   runs inside it
nvflare       NVFlare: provisioned, homomorphic encryption  nvflare_job, nvflare_client   run inside it
"""
