"""Audits of a model on a data set: what is each label read from?"""
