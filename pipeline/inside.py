"""Runs the command of a step inside the image that it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attestations.records.step import InImage
from pipeline.places import Image
from pipeline.running import Ended, Outputs, overdue
from registries.container import Program, run_in_image
from registries.engine import ENGINE_SECONDS, engine
from registries.limits import STEP_OUTPUT_BYTES
from registries.tree import tree
from stages.duration import Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The image, for how long, which engine (`outside`, the environment, names it), where the output goes."""

    image: Image
    timeout: Duration
    outside: Mapping[str, str]
    shown: int

    def __call__(self, arguments: Sequence[str], environment: Mapping[str, str], how: InImage) -> Ended:
        """Run it; the image is what its manifests say, and nothing else."""
        content = tree(self.image.place, self.image.digest)
        configs = [manifest.config.digest for manifest in content.manifests.values() if manifest.config is not None]
        outputs = Outputs(STEP_OUTPUT_BYTES, self.shown)
        seconds = self.timeout.timedelta.total_seconds()
        program = Program(
            arguments=arguments,
            environment=environment,
            network=how.network,
            writable=how.writable,
            seconds=seconds,
        )
        with engine(self.outside, where=str(self.image), seconds=seconds + ENGINE_SECONDS) as client:
            known = {*content.manifests, *configs}
            outcome = run_in_image(client, str(self.image), program, known=known, printed=outputs.add)
        why = outputs.flooded or (overdue(self.timeout.timedelta) if outcome.timed_out else "")
        return outputs.ended(outcome.exit_code, why or ("it ran out of memory" if outcome.out_of_memory else ""))
