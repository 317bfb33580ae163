"""The shapes that make a beat: humps and plateaus of the heart vector.

The heart is drawn as one dipole that moves: a vector in mV with X to the left, Y to the feet, Z to
the back. A wave is a Gaussian along a fixed direction, an ST segment is a plateau with smooth
edges. Owns their arithmetic (turn, scale, delay, area, drawing). Must not know leads, findings or
rhythms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Vector = tuple[float, float, float]
"""X (left), Y (feet), Z (back)."""

FloatArray = npt.NDArray[np.float64]

EDGE_SIGMAS = 2.5
"""A wave is taken to begin and end this many widths from its centre, at 4 % of its height."""


@dataclass(frozen=True)
class Wave:
    """A Gaussian hump of the heart vector."""

    vector_mv: Vector
    """The vector at the peak."""

    centre_s: float
    """When the peak is reached, counted from the onset of the P wave or of the QRS."""

    sigma_s: float


@dataclass(frozen=True)
class Plateau:
    """A level held from start to end, with a logistic rise and fall: an ST segment."""

    vector_mv: Vector
    start_s: float
    """Half-way up."""

    end_s: float
    """Half-way down."""

    rise_s: float
    """Time constant of the rise; 10 to 90 % takes 4.4 of them."""

    fall_s: float


def times(vector: Vector, factor: float) -> Vector:
    """The vector, made longer, shorter or opposite."""
    return (vector[0] * factor, vector[1] * factor, vector[2] * factor)


def along(direction: Vector, size_mv: float) -> Vector:
    """The direction, made `size_mv` long."""
    return times(direction, size_mv / math.hypot(*direction))


def turned_vector(vector: Vector, angle_rad: float) -> Vector:
    """Turned in the frontal plane; a positive angle takes left (X) towards the feet (Y)."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    x, y, z = vector
    return (cos * x - sin * y, sin * x + cos * y, z)


def turned(waves: Sequence[Wave], angle_rad: float) -> tuple[Wave, ...]:
    """Every wave turned in the frontal plane by the same angle."""
    return tuple(replace(w, vector_mv=turned_vector(w.vector_mv, angle_rad)) for w in waves)


def scaled(waves: Sequence[Wave], factor: float) -> tuple[Wave, ...]:
    """Every wave made larger by the same factor."""
    return tuple(replace(w, vector_mv=times(w.vector_mv, factor)) for w in waves)


def delayed(waves: Sequence[Wave], by_s: float) -> tuple[Wave, ...]:
    """Every wave later by the same time."""
    return tuple(replace(w, centre_s=w.centre_s + by_s) for w in waves)


def net_area(waves: Sequence[Wave]) -> FloatArray:
    """(3,) in mV s: the time integral of the waves, from which the electrical axis is read."""
    area = np.zeros(3)
    for wave in waves:
        area += np.multiply(wave.vector_mv, wave.sigma_s * math.sqrt(2 * math.pi))
    return area


def draw(waves: Sequence[Wave], time_s: FloatArray, plateaus: Sequence[Plateau] = ()) -> FloatArray:
    """(3, samples) in mV: the heart vector at the given times, shape (samples,)."""
    shapes = [np.exp(-0.5 * ((time_s - w.centre_s) / w.sigma_s) ** 2) for w in waves]
    shapes += [_plateau(p, time_s) for p in plateaus]
    vectors = np.array([*(w.vector_mv for w in waves), *(p.vector_mv for p in plateaus)])
    heart: FloatArray = vectors.T @ np.array(shapes)
    return heart


def _plateau(plateau: Plateau, time_s: FloatArray) -> FloatArray:
    up = np.tanh((time_s - plateau.start_s) / (2 * plateau.rise_s))
    down = np.tanh((time_s - plateau.end_s) / (2 * plateau.fall_s))
    shape: FloatArray = (up - down) / 2
    return shape
