"""The program itself, and the options that several commands share."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Learn, teach and reproduce video-language pretraining: UniVL and DiscoVLA.",
                  rich_markup_mode=None)

ScaleOption = Annotated[str | None, typer.Option("--scale", help="tiny, small or full [default: "
                                                                      "MINIVL_SCALE or small]")]
