"""From the memory of the machine to the device."""

import torch


def moved(tensor, device):
    """`tensor` on `device`; on the way to a GPU through pinned memory, so that nobody waits for the copy."""
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
