"""The parts of one service, built once from its settings. Nothing here is global, so that a test can run several."""

from dataclasses import dataclass

from skline import paths
from skline.artifact import Artifact
from skline.contract.spec import Contract
from skline.logs.labels import LabelLog
from skline.logs.writer import PredictionLog
from skline.lookups.online import Lookups
from skline.lookups.opening import open_lookups
from skline.serving.api.collector import RuntimeCollector
from skline.serving.observability.metrics import Metrics
from skline.serving.observability.monitor_state import MonitorStateCollector
from skline.serving.observability.rejections import RejectedRequests
from skline.serving.prediction.coalescer import RequestCoalescer
from skline.serving.prediction.experiment_router import ExperimentRouter
from skline.serving.prediction.explanations import ExplanationService
from skline.serving.prediction.fallbacks import FallbackChain, build_chain
from skline.serving.prediction.parsing import RequestParser
from skline.serving.prediction.predictor import Predictor
from skline.serving.prediction.recorder import Recorder
from skline.serving.prediction.review import ReviewSampler
from skline.serving.prediction.scoring import ScoringWithFallback
from skline.serving.releases.manager import ModelManager
from skline.serving.releases.source import open_initial, open_mirror
from skline.serving.security.concurrency import ConcurrencyLimiter
from skline.serving.security.guard import Guard
from skline.serving.security.scopes import Permissions
from skline.serving.settings import ServiceSettings
from skline.serving.transport.body_budget import BodyBudget
from skline.serving.transport.connections import ConnectionLimiter
from skline.serving.transport.lifecycle import RequestLifecycle

#: Lists of labels that are parsed and stored at a time: labels take 30 times the memory of a short body, and their
#: database takes one writer.
MAX_LABEL_LISTS = 2


@dataclass(frozen=True, slots=True)
class Container:
    """The parts of one service; routes get it as `request.app.state.container`."""

    settings: ServiceSettings
    #: The artifact that the service was started with; `models.artifact` is the one that it serves now.
    artifact: Artifact
    metrics: Metrics
    monitor_state: MonitorStateCollector
    guard: Guard
    permissions: Permissions
    rejections: RejectedRequests
    lifecycle: RequestLifecycle
    limiter: ConcurrencyLimiter
    label_limiter: ConcurrencyLimiter
    body_budget: BodyBudget
    connections: ConnectionLimiter
    prediction_log: PredictionLog
    labels: LabelLog
    models: ModelManager
    parser: RequestParser
    predictor: Predictor
    recorder: Recorder
    coalescer: RequestCoalescer
    lookups: Lookups | None


def build(settings: ServiceSettings) -> Container:
    """Verify the artifact's hashes and build the parts; the model is loaded later, by `models.start`.

    Raises
    ------
    SklineError
        If the artifact does not match its digest, or the settings contradict one another.
    """
    mirror = open_mirror(settings)
    artifact, release = open_initial(settings)
    limits = settings.limits
    metrics = Metrics()
    guard = Guard(settings.security, limits, settings.cors)
    limiter = ConcurrencyLimiter(limits.concurrent, limits.waiting, limits.wait_seconds, limits.request_seconds)
    label_limiter = ConcurrencyLimiter(MAX_LABEL_LISTS, limits.waiting, limits.wait_seconds, limits.request_seconds)
    body_budget, connections = BodyBudget(settings.all_bodies_bytes), ConnectionLimiter(limits)
    prediction_log = PredictionLog(settings.log)
    models = ModelManager(artifact, release, settings, metrics, prediction_log, mirror)
    requested = artifact.contract.for_requests()
    rejections = RejectedRequests(requested.input_names, lambda: models.artifact.version, prediction_log.put_rejections)
    parser, review_sampler = RequestParser(requested, settings.max_batch_rows), ReviewSampler(settings.review)
    lookups = _open_lookups(artifact.contract, settings, metrics)
    monitor_state = MonitorStateCollector(settings.monitor_folder / paths.MONITOR_STATE.name)
    recorder = Recorder(models, review_sampler, metrics, prediction_log)
    scoring = ScoringWithFallback(FallbackChain(build_chain(settings.fallback, models), metrics), limiter)
    explanations = ExplanationService(models, limits)
    router = ExperimentRouter(scoring, recorder, explanations, settings)
    predictor = Predictor(models, parser, scoring, recorder, explanations, router, lookups)
    container = Container(
        settings=settings,
        artifact=artifact,
        metrics=metrics,
        monitor_state=monitor_state,
        guard=guard,
        permissions=Permissions(
            settings.security, development=settings.environment == "development", public_prefixes=("/page",)
        ),
        rejections=rejections,
        lifecycle=RequestLifecycle(settings, guard, metrics, rejections.count),
        label_limiter=label_limiter,
        limiter=limiter,
        body_budget=body_budget,
        connections=connections,
        prediction_log=prediction_log,
        labels=LabelLog(settings.log, artifact.contract),
        models=models,
        parser=parser,
        predictor=predictor,
        recorder=recorder,
        coalescer=RequestCoalescer(models, parser, recorder, predictor.predict_row, looks_up=lookups is not None),
        lookups=lookups,
    )
    _register_collectors(container, review_sampler, explanations)
    return container


def _register_collectors(container: Container, review_sampler: ReviewSampler, explanations: ExplanationService) -> None:
    """Let `/metrics` collect what the parts count themselves."""
    runtime = RuntimeCollector(
        container.guard,
        (container.limiter, container.label_limiter),
        container.body_budget,
        container.connections,
        container.models,
        container.prediction_log,
        review_sampler,
        explanations,
        container.monitor_state,
    )
    for collector in (container.rejections, container.monitor_state, runtime):
        container.metrics.registry.register(collector)


def _open_lookups(contract: Contract, settings: ServiceSettings, metrics: Metrics) -> Lookups | None:
    """Open the look-ups of a contract; raises as `open_lookups` does."""
    addresses = {name: address.get_secret_value() for name, address in settings.lookups.items()}
    metrics.declare_lookups(contract.lookups)
    return open_lookups(contract, addresses, observe=metrics.observe_lookup)
