"""What a round of training showed, put together from what the executor tells of each device."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.learning.plan import RoundOutcome
from sfl_env.learning.protocol import Score


@dataclass(frozen=True)
class RoundResult:
    """What a round of training showed.

    Parameters
    ----------
    round : int
        Number of the round, from 1.
    score : Score
        Accuracy and loss of the global model after the round, on the test set.
    train_loss : float
        Sample-weighted mean of the devices' losses; NaN if none took part.
    device_loss : (K,) array
        Mean loss of each device over its mini-batches; NaN where it took no part.
    uplink_bits, downlink_bits : (K,) array or None
        Bits that crossed the air, counted by the message-passing executor.
    """

    round: int
    score: Score
    train_loss: float
    device_loss: NDArray[np.float64]  # (K,)
    uplink_bits: NDArray[np.int64] | None  # (K,)
    downlink_bits: NDArray[np.int64] | None  # (K,)


class RoundLedger:
    """What the executor tells of each device, put together over the turns of a round.

    Parameters
    ----------
    num_devices : int
        K.
    """

    def __init__(self, num_devices: int) -> None:
        self._device_loss = np.full(num_devices, np.nan)
        self._uplink_bits, self._downlink_bits = np.zeros((2, num_devices), dtype=np.int64)
        self._counts_bits = False
        self._took_part = np.zeros(num_devices, dtype=bool)

    def add(self, devices: NDArray[np.intp], outcome: RoundOutcome) -> None:
        """Enter what the executor told of some devices."""
        self._took_part[devices] = True
        self._device_loss[devices] = outcome.device_loss.double().cpu().numpy()
        if outcome.traffic is not None:
            self._counts_bits = True
            self._uplink_bits[devices] = outcome.traffic.uplink_bits.numpy()
            self._downlink_bits[devices] = outcome.traffic.downlink_bits.numpy()

    def result(self, round_: int, score: Score, samples: NDArray[np.int64]) -> RoundResult:
        """Return the round's result; (K,) samples weigh the devices' losses."""
        chosen = np.flatnonzero(self._took_part)
        share = samples[chosen] / max(1, samples[chosen].sum())
        return RoundResult(
            round=round_,
            score=score,
            train_loss=float(share @ self._device_loss[chosen]) if len(chosen) else float("nan"),
            device_loss=self._device_loss,
            uplink_bits=self._uplink_bits if self._counts_bits else None,
            downlink_bits=self._downlink_bits if self._counts_bits else None,
        )
