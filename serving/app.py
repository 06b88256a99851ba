"""The project's application: `skline serve` serves `app`. Add your own routes to it at the end, for example

from fastapi import APIRouter

router = APIRouter()

@router.get("/hello")
def hello() -> str:
    return "hello"

app.include_router(router)
"""

from skline.serving.app import create_app

app = create_app()
