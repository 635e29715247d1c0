"""Ray Tune's loop over the events of a stage, without the record that Ray Tune keeps for itself.

A study is recorded in its ledger and goes on from there. Ray Tune's own record holds every trial that there ever was, is looked through at
each event, and is written whole when all is over: a stage would need more memory and time for each trial the more it has had. What is done
with the events is left to `studies.running.callback`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Experiment
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import SearchGenerator

from studies.running.callback import StopRequest
from studies.running.searcher import SourceSearcher
from studies.running.trainable import TrialActor


class StageLoop(TuneController):
    """Runs the trials that a searcher hands out until there are no more.

    Args:
        name: The stage's.
        directory: Where Ray Tune may write.
        needs: The resources of an actor.
        searcher: Hands out the trials.
        scheduler: Says whose turn it is, and which trial ends early.
        callbacks: What is told the events.
        stop: Ends the stage early.
        waiting: How many trials may wait for an actor at once.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        needs: dict[str, float],
        searcher: SourceSearcher,
        scheduler: TrialScheduler,
        callbacks: tune.Callback,
        stop: StopRequest,
        waiting: int,
    ) -> None:
        experiment = Experiment(
            name,
            tune.with_resources(TrialActor, needs),
            num_samples=sys.maxsize,
            storage_path=str(directory.resolve()),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        )
        search = SearchGenerator(searcher)
        search.add_configurations([experiment])
        super().__init__(
            search_alg=search,
            scheduler=scheduler,
            stopper=stop,
            callbacks=[callbacks],
            storage=experiment.storage,
            trial_checkpoint_config=experiment.checkpoint_config,
            reuse_actors=True,
            checkpoint_period="inf",
        )
        self.update_max_pending_trials(waiting)
        self.setup_experiments([experiment], search.total_samples)

    def run(self) -> None:
        """Run the stage, and free what it held."""
        try:
            while not self.is_finished():  # type: ignore[no-untyped-call]
                self.step()  # type: ignore[no-untyped-call]
        except Exception:
            self.cleanup()  # type: ignore[no-untyped-call]
            raise
        self.cleanup()  # type: ignore[no-untyped-call]

    def on_step_end(self) -> None:
        """Forget the trials that have ended."""
        super().on_step_end()  # type: ignore[no-untyped-call]
        if self._stopped_trials or self._failed_trials:
            self._trials[:] = [trial for trial in self._trials if not trial.is_finished()]  # type: ignore[no-untyped-call]
            self._live_trials.intersection_update(self._trials)
            self._stopped_trials.clear()
            self._failed_trials.clear()

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Nothing: the ledger is the record."""

    def _mark_trial_to_checkpoint(self, trial: Any) -> None:
        pass
