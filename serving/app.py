"""The project's application: `skline serve` serves `app`. Add your own routes to it; the code is then, for example

from fastapi import APIRouter

from skline.serving.app import create_app

router = APIRouter()


@router.get("/hello")
def hello() -> str:
    return "hello"


app = create_app()
app.include_router(router)
"""

from skline.serving.app import create_app

app = create_app()
