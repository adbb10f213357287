"""Errors of the machine, with their remedies: missing libraries, devices, drivers or memory."""

import os
import re
import sys

OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|[Oo]ut of memory")  # pattern of JAX's messages
# Pattern of JAX's messages when driver, libraries and device do not match.
CUDA = re.compile("CUDA|cuda|cuDNN|CUDNN|cuBLAS|cuSPARSE|cuSOLVER|DNN library|libdevice|PTX|jaxlib version")
CUDA_EXTRAS = "'jax[cuda13]' or 'jax[cuda12]'"  # packages, of which one fits a driver


def machine_trouble(error: Exception) -> str | None:
    """Explain an error caused by missing libraries, devices, drivers or memory; None for any other error.

    If JAX cannot start, all its calls fail, some without a reason; `jax.devices()` is called to learn it.
    """
    text = (str(error).splitlines() or [type(error).__name__])[0].strip()
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] not in ("aot_jax", "data_pipeline"):
        return f"{error.name} is not installed: pip install -r requirements.txt, or '.[train]' in the repository"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(text)):
        return (
            f"out of memory ({text}): track with a smaller --max_long_edge or --max_frames, evaluate with a smaller "
            "--max_long_edge or --config.memory.max_frames, train with --config.train.rematerialise=True or "
            "--config.train.accumulate=4; see docs/troubleshooting.md"
        )
    if isinstance(error, RuntimeError | AssertionError) and (reason := _no_device()) is not None:
        wanted = os.environ.get("JAX_PLATFORMS")
        if wanted:
            packages = "'jax[tpu]'" if "tpu" in wanted else CUDA_EXTRAS if wanted in ("cuda", "gpu") else ""
            return (
                f"JAX finds no backend {wanted} on this machine{reason}: unset JAX_PLATFORMS to take what there is, or "
                f"install it{f', as in pip install {packages}' if packages else ''}"
            )
        return f"JAX finds no device{reason}: JAX_PLATFORMS=cpu runs without one; see docs/troubleshooting.md"
    if isinstance(error, RuntimeError) and CUDA.search(str(error)):
        return (
            f"CUDA does not work here ({text}): update the driver, or install the one extra that fits, {CUDA_EXTRAS} "
            "(docs/troubleshooting.md), and take other CUDA libraries off LD_LIBRARY_PATH; JAX_PLATFORMS=cpu runs "
            "without it"
        )
    return None


def _no_device() -> str | None:
    """Return why JAX has no device, in brackets, empty if unknown; None if it has one or is not loaded."""
    if "jax" not in sys.modules:
        return None
    try:
        sys.modules["jax"].devices()
    except Exception as reason:
        said = str(reason).partition(" (set JAX_PLATFORMS")[0]
        return f" ({said})" if said else ""
    return None
