"""The prediction service. Generic: its routes and types come from the artifact's contract.

The path of one row from bytes to response, in the order of the calls:

1. `transport/protocol.py`: bytes of a connection → a complete request.
2. `transport/request.py`: the complete request, as the fast path passes it on.
3. `transport/dispatch.py`: the requests of one iteration of the event loop → the handler of the route.
4. `transport/lifecycle.py`: create the request's context, admit the request, finish it; the same for every route.
5. `security/guard.py`: verify the API key and count the request for the rate limit.
6. `prediction/coalescer.py`: the rows of these requests → one batch.
7. `prediction/parsing.py`: JSON → a row that fits the contract.
8. `releases/manager.py`: the model, and the experiment, that the release names.
9. `models/scorers.py`: rows → scores, by the plan or by the pipeline.
10. `models/response.py`: scores → the response's JSON.
11. `prediction/recorder.py`: review, metrics and log records of the predictions.
12. `transport/responses.py`: JSON → a response, which `protocol.py` writes.

`app.py` builds the application, `container.py` the parts behind it, `settings.py` declares their settings, and
`errors.py` the errors that clients get. `server/` starts and stops processes; `api/`, `protocols/` and `page/` have
the routes, `experiments/` canaries, A/B tests and shadows, `observability/` metrics, logs and traces.

Imports point one way: `api`, `protocols`, `page` → `prediction` → `releases` → `experiments` → `models` → `transport` →
`security` → `observability`; `settings.py` and `errors.py` import none of these.
"""
