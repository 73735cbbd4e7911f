"""The published constants of Henighan et al. (2020; arXiv:2010.14701): Tables 1 and 3, and the shapes of Table 5.

Compute is in PF-days (8.64e19 FLOPs), counted as 6 N per token; losses are nats per token unless said otherwise.
"""

from dataclasses import dataclass

from windtunnel.laboratory.errors import UsageError
from windtunnel.scaling.laws.power import Growth, PowerLawPlusConstant

PF_DAY = 8.64e19
"""FLOPs."""


@dataclass(frozen=True)
class Modality:
    """The laws of one domain.

    Attributes:
        of_parameters: L(N), or None where the paper gives none.
        of_compute: L(C), C in PF-days, or None.
        optimum: N_opt(C) = (C / C_0)^β, or None.
    """

    of_parameters: PowerLawPlusConstant | None
    of_compute: PowerLawPlusConstant | None
    optimum: Growth | None


def _law(constant: float, scale: float, exponent: float) -> PowerLawPlusConstant:
    return PowerLawPlusConstant(constant, scale, exponent)


def _size(scale: float, exponent: float) -> Growth:
    return Growth(scale**-exponent, exponent)


TABLE_1: dict[str, Modality] = {
    "language": Modality(_law(0, 1.47e14, 0.070), _law(0, 3.47e8, 0.048), _size(3.3e-13, 0.73)),
    "image 8x8": Modality(_law(3.12, 80, 0.24), _law(3.13, 1.8e-8, 0.19), _size(5.3e-14, 0.64)),
    "image 16x16": Modality(_law(2.64, 280, 0.22), _law(2.64, 1.6e-8, 0.16), _size(4.8e-12, 0.75)),
    "image 32x32": Modality(_law(2.20, 63, 0.13), _law(2.21, 3.6e-9, 0.10), _size(1.6e-13, 0.65)),
    "image vq 16x16": Modality(_law(3.99, 2.7e4, 0.13), _law(4.09, 6.1e-7, 0.11), _size(6.2e-14, 0.64)),
    "image vq 32x32": Modality(_law(3.07, 1.9e4, 0.14), _law(3.17, 2.6e-6, 0.12), _size(9.4e-13, 0.70)),
    "text-to-image, text": Modality(_law(0, 5.6e8, 0.037), None, None),
    "text-to-image, image": Modality(_law(2.0, 5.1e3, 0.16), _law(1.93, 1.5e-6, 0.15), _size(9.4e-13, 0.70)),
    "image-to-text, text": Modality(_law(0, 7.0e8, 0.039), None, None),
    "image-to-text, image": Modality(_law(2.0, 5.5e3, 0.15), _law(1.97, 1.5e-6, 0.16), _size(3.3e-12, 0.72)),
    "video vq 16x16x16": Modality(_law(1.01, 3.7e4, 0.24), _law(0.95, 2.2e-5, 0.14), _size(1.13e-12, 0.71)),
    "mathematics": Modality(_law(0.28, 1.1e4, 0.16), _law(0.14, 1.4e-5, 0.17), _size(2.3e-12, 0.69)),
}
"""Table 1 by domain. A law without a constant has L_∞ = 0."""

TABLE_3: dict[str, PowerLawPlusConstant] = {
    "image 8x8": _law(602, 1.9e3, 0.19),
    "image 16x16": _law(2026, 1.7e10, 0.16),
    "image 32x32": _law(6806, 2.7e26, 0.10),
    "image vq 16x16": _law(1047, 4.7e15, 0.11),
    "image vq 32x32": _law(3246, 3.1e19, 0.12),
}
"""Table 3: nats per image over compute; x_0 is the compute at which 1 nat per image is reducible."""

TABLE_5: tuple[tuple[float, int, int, float], ...] = (
    (1.23e4, 32, 4, 2.686e-3),
    (9.83e4, 64, 8, 1.597e-3),
    (7.86e5, 128, 16, 9.50e-4),
    (6.29e6, 256, 32, 5.65e-4),
    (5.03e7, 512, 64, 3.36e-4),
    (4.03e8, 1024, 128, 2.00e-4),
    (3.22e9, 2048, 256, 1.19e-4),
)
"""Table 5, mathematics, images and video: parameters, width, layers, learning rate."""


def modality(name: str) -> Modality:
    """The laws of a domain of Table 1.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in TABLE_1:
        raise UsageError(f"Table 1 has no domain {name!r}; choose one of {'; '.join(TABLE_1)}.")
    return TABLE_1[name]
