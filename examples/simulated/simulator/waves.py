"""The building blocks of a beat: Gaussian waves and plateaus of the heart vector.

The heart is modelled as one moving dipole: a vector in mV with X to the left, Y to the feet, Z to
the back. A wave is a Gaussian along a fixed direction, an ST segment a plateau with smooth edges.
Owns the operations on them (rotate, scale, delay, area, draw). Must not know leads, findings or
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
"""A wave starts and ends this many sigmas from its centre, at 4 % of its height."""


@dataclass(frozen=True)
class Wave:
    """A Gaussian wave of the heart vector."""

    vector_mv: Vector
    """The vector at the peak."""

    centre_s: float
    """Time of the peak from the onset of the P wave or the QRS."""

    sigma_s: float


@dataclass(frozen=True)
class Plateau:
    """A constant level with a logistic rise and fall: an ST segment."""

    vector_mv: Vector
    start_s: float
    """Midpoint of the rise."""

    end_s: float
    """Midpoint of the fall."""

    rise_s: float
    """Time constant of the rise, which takes 4.4 of them from 10 to 90 %."""

    fall_s: float


def scale_vector(vector: Vector, factor: float) -> Vector:
    """Multiply a vector by a factor."""
    return (vector[0] * factor, vector[1] * factor, vector[2] * factor)


def vector_along(direction: Vector, size_mv: float) -> Vector:
    """Return a vector of length `size_mv` in a direction."""
    return scale_vector(direction, size_mv / math.hypot(*direction))


def rotate_vector(vector: Vector, angle_rad: float) -> Vector:
    """Rotate in the frontal plane; a positive angle moves left (X) towards the feet (Y)."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    x, y, z = vector
    return (cos * x - sin * y, sin * x + cos * y, z)


def rotate(waves: Sequence[Wave], angle_rad: float) -> tuple[Wave, ...]:
    """Rotate all waves in the frontal plane by the same angle."""
    return tuple(replace(w, vector_mv=rotate_vector(w.vector_mv, angle_rad)) for w in waves)


def scale(waves: Sequence[Wave], factor: float) -> tuple[Wave, ...]:
    """Multiply all waves by the same factor."""
    return tuple(replace(w, vector_mv=scale_vector(w.vector_mv, factor)) for w in waves)


def delay(waves: Sequence[Wave], by_s: float) -> tuple[Wave, ...]:
    """Delay all waves by the same time."""
    return tuple(replace(w, centre_s=w.centre_s + by_s) for w in waves)


def net_area(waves: Sequence[Wave]) -> FloatArray:
    """Return the time integral of the waves, (3,) in mV s, which defines the electrical axis."""
    area = np.zeros(3)
    for wave in waves:
        area += np.multiply(wave.vector_mv, wave.sigma_s * math.sqrt(2 * math.pi))
    return area


def draw(waves: Sequence[Wave], time_s: FloatArray, plateaus: Sequence[Plateau] = ()) -> FloatArray:
    """Return the heart vector, (3, samples) in mV, at the given times, (samples,)."""
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
