"""Capsules one number at a time, with Python's floats: Sabour, Frosst & Hinton 2017, eq. 1-4 and procedure 1, read literally."""

import math

Vector = list[float]


def length(vector: Vector) -> float:
    return math.sqrt(math.fsum(x * x for x in vector))


def squash(vector: Vector) -> Vector:
    long = length(vector)
    if long == 0:
        return [0.0 for _ in vector]
    return [long * long / (1 + long * long) * x / long for x in vector]


def softmax(values: Vector) -> Vector:
    highest = max(values)
    powers = [math.exp(value - highest) for value in values]
    return [power / math.fsum(powers) for power in powers]


def route(votes: list[list[Vector]], iterations: int) -> list[Vector]:
    """The parents of children i with votes[i][j] for parent j."""
    children, parents, dimensions = len(votes), len(votes[0]), len(votes[0][0])
    logits = [[0.0] * parents for _ in range(children)]
    found: list[Vector] = []
    for _ in range(iterations):
        coupling = [softmax(row) for row in logits]
        found = []
        for j in range(parents):
            total = [math.fsum(coupling[i][j] * votes[i][j][d] for i in range(children)) for d in range(dimensions)]
            found.append(squash(total))
        for i in range(children):
            for j in range(parents):
                agreement = math.fsum(votes[i][j][d] * found[j][d] for d in range(dimensions))
                logits[i][j] += agreement
    return found


def margin_loss(lengths: Vector, label: int) -> float:
    loss = 0.0
    for j, long in enumerate(lengths):
        if j == label:
            loss += max(0.0, 0.9 - long) ** 2
        else:
            loss += 0.5 * max(0.0, long - 0.1) ** 2
    return loss
