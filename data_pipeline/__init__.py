"""Clips for training: raw folders -> prepared records -> sampled, augmented and merged batches.

In the order in which data flows:

frames, masks                read the frames of raw videos, encode images and masks
walk                         the frames of a set that can be stored, and what is left out
builders, scan               store them: as records by TFDS, or the ids of masks alone, beside the raw files
prepare                      open a prepared set, or make it
records                      read frames of prepared sets
sequences, sampling          index of all frames; choice of a clip's frames from it
augment, moving              a clip of a video or of one image; of an image with objects of others moving over it
warp, colour                 what both do to pixels
merge                        select the objects of a clip, merge two clips
samples                      the clip of an index: all of the above
pipeline                     batches of clips
check                        the command that says what raw data holds
sources                      former names of aot_jax.io.datasets
"""
