"""Compare: runs side by side, the settings in which they differ, and the same run once more, digit by digit."""

import streamlit as st

from gptcore import comparison
from gptcore.comparison import Compared
from gptcore.corpora import TextError, load_text
from gptcore.figures.comparison import comparison_curves
from gptcore.recordings import Recording
from pages._ui import compared, frame, predict, quiz, reproduce, settings, side_by_side, thread
from pages._ui.compared import Offer

frame.lesson("compare")


def _start(chosen: list[Offer]) -> None:
    """Go to the training lesson with the settings of one of the runs, each of them."""
    names = {offer.name: offer for offer in chosen}
    name = st.selectbox("Whose text, model and settings", list(names), key="compare_start_run")
    if st.button("Take them to the training lesson", icon=":material/arrow_forward:", key="compare_start"):
        source = names[name].source
        try:
            if isinstance(source, Recording):
                text, model, training = load_text(source.plan.text), source.plan.model, source.plan.training
            else:
                text, model, training = source.text, source.model_config, source.train_config
        except TextError as error:
            frame.refuse(error)
        else:
            settings.start_from(name, text, model, training)
            st.switch_page(frame.page_file("training"))


def _downloads(chosen: list[Offer]) -> None:
    """Files are made when they are asked for, not at every look."""
    st.download_button(
        "The curves (CSV)",
        lambda: compared.curves_file(chosen),
        "curves.csv",
        "text/csv",
        key="compare_curves_csv",
        icon=":material/show_chart:",
        on_click="ignore",
    )
    st.download_button(
        "Both tables (CSV)",
        lambda: compared.tables_file(chosen),
        "runs.csv",
        "text/csv",
        key="compare_tables_csv",
        icon=":material/table:",
        on_click="ignore",
    )
    st.segmented_control(
        "The camera above the figure saves it as",
        ("svg", "png"),
        default="svg",
        required=True,
        format_func=str.upper,
        key="compare_image",
        persist_state="session",
    )


def _try_it(first: Compared, second: Compared) -> None:
    """Where two runs part: guess first, then read it off line by line."""
    same = comparison.same_run(first, second)
    names = f"{frame.plain(first.name)} and {frame.plain(second.name)}"
    if same.parts_at is None:
        st.markdown(f"Line by line {names} are {comparison.in_words(same)}.")
        return
    key = f"compare_{first.name}_{second.name}"
    if predict.number(key, f"At which step do the numbers of {names} differ for the first time?", same.parts_at):
        st.markdown(f"Line by line they are {comparison.in_words(same)}.")


offers = compared.offers()
chosen = compared.choose(offers)
if chosen:
    side_by_side.view(chosen)
    with st.container(horizontal=True):
        with st.popover("Start from these settings", icon=":material/play_arrow:", key="compare_start_box"):
            _start(chosen)
        with st.popover("Download", icon=":material/download:", key="compare_download_box"):
            _downloads(chosen)
    if len(pair := compared.side_by_side(chosen[:2])) > 1:
        _try_it(*pair)
else:
    st.info("No run is chosen. Choose one or more above: one's own runs stand first, recorded ones after them.")
run = thread.run()
reproduce.panel(run, offers[run.id].name)
quiz.section("compare")
frame.code_behind(comparison.differences, comparison.results, comparison.same_run, comparison_curves)
frame.next_lesson("compare")
