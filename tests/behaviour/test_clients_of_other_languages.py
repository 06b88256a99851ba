"""Programs that people already have send their own spellings of a row, and get the prediction of the plain one.

docs/protocols.md lists them. The row has a column of each kind.
"""

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import requests
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from skline.contract.derive import derive
from skline.contract.table import Table, column
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running, wait_until_loaded
from tests.fixtures import demo


class Inputs(Table):
    """A column of each kind."""

    moment: dt.datetime = column("time", example="2026-01-31T14:05:00Z")
    day: dt.date = column("day", example="2026-01-31")
    count: int = column("whole number", example=3)
    amount: float = column("number", example=1.5, nullable=True)
    flag: bool = column("yes or no", example=True)
    city: str = column("text", example="Köln")


class Labelled(Inputs):
    """And the target."""

    y: float = column("target", role="target")


ROW = {
    "moment": "2026-01-31T14:05:00Z", "day": "2026-01-31", "count": 3, "amount": 1.5, "flag": True, "city": "Köln",
}  # fmt: skip
#: 2.0 * count + 10.0 * amount + 100.0 * flag
PREDICTION = 121.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    numbers = ["count", "amount", "flag"]
    model = LinearRegression(fit_intercept=False)
    pipeline = make_pipeline(make_column_transformer(("passthrough", numbers), remainder="drop"), model)
    frame = pd.DataFrame(np.eye(3), columns=numbers).assign(moment=pd.Timestamp(0), day=pd.Timestamp(0), city="a")
    pipeline.fit(frame, np.array([2.0, 10.0, 100.0]))
    packaged = demo.package(tmp_path_factory.mktemp("a") / "artifact", pipeline, derive(Inputs, Labelled, {}), [ROW])
    app = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(app) as client:
        wait_until_loaded(client)
        yield client


def needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def run(*command: str | Path, folder: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def prediction_of(text: str) -> float:
    content = json.loads(text)
    assert "prediction" in content, content
    return float(content["prediction"])


NODE = """
const [url, path] = process.argv.slice(2);
const row = { moment: new Date("2026-01-31T14:05:00Z"), day: new Date("2026-01-31"), count: 3.0, amount: 1.5,
              flag: true, city: "Köln" };
const body = JSON.stringify(path === "/predict" ? row : { instances: [row] });
const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json" }, body });
const content = await response.json();
console.log(JSON.stringify(content.predictions ? { prediction: content.predictions[0] } : content));
"""


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_javascript_sends_its_dates(service: httpx.Client, tmp_path: Path, path: str) -> None:
    program = tmp_path / "client.mjs"
    program.write_text(NODE, encoding="utf-8")
    output = run(needs("node"), program, str(service.base_url).rstrip("/"), path)
    assert prediction_of(output) == PREDICTION


JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Instant;
import java.time.LocalDate;

class Client {
    public static void main(String[] arguments) throws Exception {
        var moment = Instant.parse("2026-01-31T14:05:00.123456700Z");
        var day = LocalDate.of(2026, 1, 31);
        var body = "{\\"moment\\":\\"" + moment + "\\",\\"day\\":\\"" + day + "\\",\\"count\\":" + 3.0
            + ",\\"amount\\":1.5,\\"flag\\":true,\\"city\\":\\"K\\u00f6ln\\"}";
        var client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            var request = HttpRequest.newBuilder(URI.create(arguments[0] + "/predict"))
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body)).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
        }
    }
}
"""


def test_java_offers_http2_and_sends_instants(service: httpx.Client, tmp_path: Path) -> None:
    needs("javac")
    program = tmp_path / "Client.java"
    program.write_text(JAVA, encoding="utf-8")
    output = run(needs("java"), "-Dfile.encoding=UTF-8", program, str(service.base_url).rstrip("/"))
    assert [prediction_of(line) for line in output.splitlines()] == [PREDICTION] * 3


@pytest.mark.parametrize(
    "body",
    [
        # System.Text.Json: DateTime, DateTimeOffset with ticks, double with a whole value; DateOnly
        '{"moment":"2026-01-31T14:05:00.1234567Z","day":"2026-01-31","count":3,"amount":1.5,"flag":true,"city":"K\\u00F6ln"}',
        '{"moment":"2026-01-31T15:05:00.1234567+01:00","day":"2026-01-31T00:00:00","count":3,"amount":1.5,"flag":true,"city":"K\\u00F6ln"}',
        # Newtonsoft.Json writes a double of a whole value with a fraction
        '{"moment":"2026-01-31T14:05:00","day":"2026-01-31T00:00:00","count":3.0,"amount":1.5,"flag":true,"city":"Köln"}',
        # Jackson and Spark
        '{"moment":"2026-01-31T14:05:00.000+0000","day":"2026-01-31","count":3,"amount":1.5,"flag":true,"city":"Köln"}',
        # PHP and Gson write whole floats with a fraction
        '{"moment":"2026-01-31T14:05:00+00:00","day":"2026-01-31","count":3.0,"amount":1.5,"flag":true,"city":"Köln"}',
    ],
)  # fmt: skip
def test_bodies_as_dotnet_and_jvm_libraries_write_them(service: httpx.Client, body: str) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}
    assert prediction_of(service.post("/predict", content=body, headers=headers).text) == PREDICTION


def test_curl_sends_json_csv_and_head(service: httpx.Client, tmp_path: Path) -> None:
    curl, url = needs("curl"), str(service.base_url).rstrip("/")
    rows, table = tmp_path / "row.json", tmp_path / "rows.csv"
    rows.write_text(json.dumps(ROW))
    pd.DataFrame([ROW]).to_csv(table, index=False)
    for options in (["--json"], ["--http2", "--json"], ["--compressed", "--json"], ["--http1.0", "--json"]):
        assert prediction_of(run(curl, "-sS", *options, f"@{rows}", f"{url}/predict")) == PREDICTION
    output = run(curl, "-sS", "-H", "content-type: text/csv", "--data-binary", f"@{table}", f"{url}/invocations")
    assert json.loads(output)["predictions"] == [PREDICTION]
    assert run(curl, "-sSI", f"{url}/health/ready").startswith("HTTP/1.1 200 OK")


@pytest.fixture
def frame() -> pd.DataFrame:
    values = ROW | {"moment": pd.Timestamp("2026-01-31T14:05:00Z"), "day": pd.Timestamp("2026-01-31")}
    return pd.DataFrame([values, values | {"amount": None}])


def post_json(service: httpx.Client, path: str, body: str) -> requests.Response:
    headers = {"content-type": "application/json"}
    return requests.post(f"http://127.0.0.1:{service.base_url.port}{path}", data=body, headers=headers, timeout=30)


#: For each orientation of pandas' to_json the body of /invocations that takes it; `{}` stands for the text.
ORIENTS = {
    "records": '{{"dataframe_records": {}}}',
    "split": '{{"dataframe_split": {}}}',
    "values": '{{"instances": {}}}',
}


@pytest.mark.parametrize("orient", ORIENTS)
def test_pandas_writes_rows_that_requests_sends(service: httpx.Client, frame: pd.DataFrame, orient: Any) -> None:
    complete = frame.dropna()
    text = complete.to_json(orient=orient, date_format="iso")
    response = post_json(service, "/invocations", ORIENTS[orient].format(text))
    assert response.json().get("predictions") == [PREDICTION], response.text
    if orient == "records":
        response = post_json(service, "/predict/batch", text)
        assert [row["prediction"] for row in response.json()["predictions"]] == [PREDICTION]


def test_pandas_table_orientation_has_its_rows_in_data(service: httpx.Client, frame: pd.DataFrame) -> None:
    text = frame.dropna().to_json(orient="table", index=False)
    rows = json.dumps({"dataframe_records": json.loads(text)["data"]})
    assert post_json(service, "/invocations", rows).json().get("predictions") == [PREDICTION]


@pytest.mark.parametrize("orient", ["columns", "index", "table"])
def test_orientations_that_no_format_is_made_for_are_rejected_with_the_formats(
    service: httpx.Client, frame: pd.DataFrame, orient: Any
) -> None:
    response = post_json(service, "/invocations", frame.to_json(orient=orient, date_format="iso"))
    assert response.status_code == 422
    assert "exactly one of dataframe_split, dataframe_records, instances, inputs" in response.text


def test_a_row_as_pandas_and_numpy_give_it_in_python(service: httpx.Client, frame: pd.DataFrame) -> None:
    row = frame.astype({"count": float}).iloc[0].to_dict() | {"moment": str(np.datetime64("2026-01-31T14:05:00", "ns"))}
    row["day"] = row["day"].isoformat()
    assert prediction_of(post_json(service, "/predict", json.dumps(row)).text) == PREDICTION


KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

url, row = sys.argv[1], json.loads(sys.argv[2])
DATATYPES = {int: "INT64", float: "FP64", bool: "BOOL", str: "BYTES"}

def tensor(name, value, binary):
    made = InferInput(name, [1], DATATYPES[type(value)])
    if binary:
        made.set_data_from_numpy(np.array([value], object if type(value) is str else type(value)), binary_data=True)
    else:
        made.data = [value]
    return made

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "demo")
    for binary in (False, True):
        inputs = [tensor(name, value, binary) for name, value in row.items()]
        request = InferRequest(model_name="demo", infer_inputs=inputs, request_id="1")
        response = await client.infer(url, request, model_name="demo")
        [prediction] = [output for output in response.outputs if output.name == "prediction"]
        print(json.dumps({"prediction": float(prediction.as_numpy()[0])}))
    try:
        await client.infer(url, InferRequest(model_name="demo", infer_inputs=inputs[1:]), model_name="demo")
    except Exception as error:
        assert "the column 'moment' is missing" in str(error), error

asyncio.run(main())
"""

MLSERVER = """
import datetime as dt, json, sys
from urllib.request import Request, urlopen
import numpy as np
import pandas as pd
from mlserver.codecs import Base64Codec, DatetimeCodec, NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

url, row = sys.argv[1], json.loads(sys.argv[2])
texts = [name for name, value in row.items() if type(value) is str]
numbers = [NumpyCodec.encode_input(name, np.array([row[name]])) for name in row if name not in texts]
moment = DatetimeCodec.encode_input("moment", [dt.datetime.fromisoformat(row["moment"])], use_bytes=False)
requests = [
    PandasCodec.encode_request(pd.DataFrame([row]), use_bytes=False),
    PandasCodec.encode_request(pd.DataFrame([row])),
    InferenceRequest(inputs=[*numbers, *(StringCodec.encode_input(n, [row[n]], use_bytes=False) for n in texts)]),
    InferenceRequest(
        inputs=[*numbers, *(Base64Codec.encode_input(n, [row[n].encode()], use_bytes=False) for n in texts)]
    ),
    InferenceRequest(
        inputs=[*numbers, moment, *(StringCodec.encode_input(n, [row[n]], use_bytes=False) for n in texts[1:])]
    ),
]
for request in requests:
    headers = {"content-type": "application/json"}
    body = request.model_dump_json().encode()
    with urlopen(Request(url + "/v2/models/demo/infer", body, headers)) as received:
        response = InferenceResponse.model_validate_json(received.read())
    predictions = {output.name: output for output in response.outputs}
    print(json.dumps({"prediction": float(NumpyCodec.decode_output(predictions["prediction"]).item())}))
"""

#: Python clients whose requirements are not those of the project: the packages, a program, its number of requests.
PYTHON_CLIENTS = [
    pytest.param(["kserve==0.21.0"], KSERVE, 2, id="kserve"),
    pytest.param(["mlserver==1.7.1", "pandas<3"], MLSERVER, 5, id="mlserver"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("packages", "program", "requests_sent"), PYTHON_CLIENTS)
def test_python_clients_run_in_environments_of_their_own(
    service: httpx.Client, tmp_path: Path, packages: list[str], program: str, requests_sent: int
) -> None:
    script = tmp_path / "client.py"
    script.write_text(program, encoding="utf-8")
    options = [argument for package in packages for argument in ("--with", package)]
    arguments = [str(service.base_url).rstrip("/"), json.dumps(ROW)]
    command = [needs("uv"), "run", "--no-project", "--isolated", "--python", sys.executable, *options, "python", script]
    output = run(*command, *arguments, folder=tmp_path)
    assert [prediction_of(line) for line in output.splitlines()] == [PREDICTION] * requests_sent
