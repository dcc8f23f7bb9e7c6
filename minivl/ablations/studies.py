"""The studies over several worlds, by name."""

from minivl.ablations.discovla_link_studies import LINK_STUDIES
from minivl.ablations.discovla_studies import DISCOVLA_STUDIES
from minivl.ablations.univl_studies import UNIVL_STUDIES

STUDIES = {study.name: study for study in (*DISCOVLA_STUDIES, *LINK_STUDIES, *UNIVL_STUDIES)}
