"""GPT-2: published weights in the same code, beside a model that was trained here, and one that was never trained.

The columns and what they are asked stand first, the weights below them. The columns are drawn after the weights are
known, and write when all else is on the page: so nothing on it is out of date while they do.
"""

import streamlit as st

from gptcore import against as measures
from gptcore import pretrained
from gptcore.checkpoint import is_ours
from gptcore.gpt2_names import mapping_rows
from gptcore.model import GPTModel
from gptcore.pretrained import WeightsError
from gptcore.sampling import generate
from pages._ui import against_views, against_write, frame, quiz, resources, weights_source
from pages._ui.resources import Voice

frame.lesson("pretrained")


def _loaded(gpt2: Voice) -> GPTModel | None:
    """The model of these weights; nothing where they are refused, and the page says why."""
    try:
        if gpt2.path is not None and gpt2.path.is_file() and is_ours(gpt2.path):
            raise WeightsError("this file was written by this program: its run speaks in the lesson on sampling")
        return resources.speak(gpt2)[0]
    except ValueError as error:
        frame.refuse(error)
        return None


stage = st.container()
st.subheader("The weights", anchor=False)
gpt2 = weights_source.choose()
model = _loaded(gpt2) if gpt2 is not None else None
if model is not None:
    weights_source.mapping(model)
with stage:
    task = against_views.lay(gpt2 if model is not None else None)
quiz.section("pretrained")
frame.code_behind(
    pretrained.load_gpt2,
    generate,
    measures.judge,
    measures.kl_divergence,
    measures.next_tokens_together,
    measures.timed,
    mapping_rows,
)
frame.next_lesson("pretrained")
if task is not None:
    against_write.write(*task)
