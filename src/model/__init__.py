"""Yours: the columns, where they come from, and the pipeline that is fitted on them."""
