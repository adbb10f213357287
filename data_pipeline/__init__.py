"""Clips for training: raw folders -> prepared records -> sampled, augmented and merged batches.

In the order in which data flows:

frames                       read the frames of raw videos, encode images and masks
walk                         the frames of a set that can be stored, and what is left out
builders, scan               store them: as records by TFDS, or only the ids of masks, with images left where they are
prepare                      open a prepared set, or make it
records                      read frames of prepared sets
sequences, sampling          index of all frames; choice of a clip's frames from it
augment, moving              augmented clips of videos and still images; clips of still images with moving objects
warp, colour                 resample images and masks, change colours
merge                        select the objects of a clip, merge two clips
samples                      from an index to a clip: all of the above
pipeline                     batches of clips
check                        the command that reports the contents and problems of raw data
"""
