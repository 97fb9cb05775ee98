"""The devices: their types, which of them take part, and how much of their speed training gets."""

from sfl_env.devices.availability import AlwaysAvailable, Availability, AvailabilityState, MarkovAvailability
from sfl_env.devices.kinds import DeviceType
from sfl_env.devices.population import DeviceBatch, DeviceSampler, Population

__all__ = [
    "AlwaysAvailable",
    "Availability",
    "AvailabilityState",
    "DeviceBatch",
    "DeviceSampler",
    "DeviceType",
    "MarkovAvailability",
    "Population",
]
