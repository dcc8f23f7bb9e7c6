"""The course edition: tasks that students implement themselves, and checks that say what is wrong."""

from minivl.course.check import check, inputs, report, require

__all__ = ["check", "inputs", "report", "require"]
