"""``sfl publish``: a trained agent made one that others can name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Publish:
    """Put a trained agent where 'pretrained:ID' finds it, with a card of how it was made and what it does.

    Example: 'sfl publish runs/ppo --as SFL-v0', then 'sfl evaluate --policy pretrained:SFL-v0'

    The folder holds agent.zip, the weights without anything that could run, and card.json: hash, command,
    versions, training curve, and figures on held-out episodes.
    """

    run_folder: tyro.conf.Positional[Path]
    """Folder that `sfl train` wrote."""
    name: Annotated[str, tyro.conf.arg(name="as")]
    """The agent's name, by custom the id that it is for."""
    home: Path | None = None
    """Folder that the agent's own is made in; by default the package's, where 'pretrained:ID' looks. One from
    elsewhere, to be handed on, is played by its folder: 'sfl evaluate HOME/ID'."""
    episodes: int = 100
    """Held-out episodes for the figures on the card; the protocol's tables are of 100."""

    def run(self) -> None:
        """Measure and write."""
        from sfl_agents.files import published
        from sfl_agents.files.agent_file import AgentFile
        from sfl_lab.cli.display import say, warn
        from sfl_lab.compare.publishing import publish

        folder = publish(self.run_folder, self.name, self.home or published.HOME, self.episodes)
        name = folder if self.home else f"--policy {published.PREFIX}{self.name}"
        say(f"Written to {folder}: {published.AGENT}, {published.CARD}. Play it: sfl evaluate {name}")
        if AgentFile.open(folder / published.AGENT).counters["steps"] == 0:
            warn("the agent is untrained: none of its checkpoints did better on the validation episodes.")
