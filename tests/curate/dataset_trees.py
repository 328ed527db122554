"""Small trees that are laid out as the sets of the shipped entries are, and how they are read."""

from pathlib import Path

import numpy as np

from curate.registry import load_dataset
from curate.sources import Item, list_units
from curate.units import require_known_labels
from tests.curate.source_kinds import picture
from tests.videos import shorten


def items_of(name: str, root: Path) -> dict[str, Item]:
    """The items of an entry by source; its labels are in its vocabulary."""
    dataset = load_dataset(name)
    units = list(list_units(dataset, root, root / "out"))
    require_known_labels(units, dataset)
    return {item.source: item for unit in units for item in unit.items}


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def fer2013(root: Path) -> None:
    usage = ["Training"] * 3 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
    rng = np.random.default_rng(0)
    lines = [f"{n},{' '.join(map(str, rng.integers(0, 256, 2304)))},{usage[n]}" for n in range(7)]
    write(root, "fer2013.csv", "emotion,pixels,Usage\n" + "\n".join(lines) + "\n")


def ferplus(root: Path) -> None:
    fer2013(root)
    write(
        root,
        "fer2013new.csv",
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
        "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0\n"
        "Training,fer0000001.png,6,0,1,1,0,0,0,0,2,0\n"
        "Training,fer0000002.png,5,0,0,5,0,0,0,0,0,0\n"
        "PublicTest,,0,0,0,0,0,0,0,0,0,10\n"
        "PublicTest,fer0000004.png,0,0,0,0,0,0,0,1,9,0\n"
        "PrivateTest,fer0000005.png,0,10,0,0,0,0,0,0,0,0\n"
        "PrivateTest,fer0000006.png,0,0,0,1,0,0,0,9,0,0\n",
    )


def affectnet(root: Path) -> None:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    lines = "689/1.jpg,2,3,5,4,1.5;2.5;3;4,1,0.785714,-0.055556\n392/2.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2\n"
    write(root, "Manually_Annotated_file_lists/training.csv", header + lines)
    write(root, "Manually_Annotated_file_lists/validation.csv", header + "1/3.JPG,0,0,9,8,1;2,7,-0.5,0.5\n")
    for name in ("689/1.jpg", "392/2.jpg", "1/3.JPG"):
        picture(root / "Manually_Annotated_Images" / name)


def affectnet_crops(root: Path) -> None:
    for part, number, values in (("train", 0, ("3", "0.5", "-0.25")), ("val", 7, ("7", "-0.75", "-2"))):
        picture(root / f"{part}_set" / "images" / f"{number}.jpg")
        (root / f"{part}_set" / "annotations").mkdir()
        for short, value in zip(("exp", "val", "aro"), values, strict=True):
            np.save(root / f"{part}_set" / "annotations" / f"{number}_{short}.npy", np.array(value))
        np.save(root / f"{part}_set" / "annotations" / f"{number}_lnd.npy", np.zeros((68, 2)))


def raf_db(root: Path) -> None:
    lines = [f"train_{n:05d}.jpg {n}" for n in range(1, 8)] + ["test_0001.jpg 4"]
    write(root, "EmoLabel/list_patition_label.txt", "\n".join(lines) + "\n")
    for line in lines:
        picture(root / "Image" / "aligned" / line.split()[0].replace(".jpg", "_aligned.jpg"), size=(100, 100))


KDEF_CODES = {
    "AF": "fear",
    "AN": "anger",
    "DI": "disgust",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}


def kdef(root: Path) -> None:
    for code in KDEF_CODES:
        for angle in ("S", "HL", "FR"):
            picture(root / "KDEF_and_AKDEF" / "KDEF" / "AF01" / f"AF01{code}{angle}.JPG")
    picture(root / "KDEF_and_AKDEF" / "KDEF" / "BM35" / "BM35AFHR.JPG")


def akdef(root: Path) -> None:
    for sex in "FM":
        for code in KDEF_CODES:
            picture(root / "KDEF_and_AKDEF" / "AKDEF" / f"{sex}{code}FL.JPG")
            picture(root / "KDEF_and_AKDEF" / "AKDEF" / f"{sex}{code}S.JPG")


def lfw_sun(root: Path) -> None:
    picture(root / "lfw" / "Aaron_Eckhart" / "Aaron_Eckhart_0001.jpg", size=(250, 250))
    picture(root / "SUN397" / "a" / "abbey" / "sun_aaalbzqrimafwbiv.jpg", size=(300, 200))


def ck(root: Path) -> None:
    for name in ("S005/001/S005_001_00000001", "S005/001/S005_001_00000002", "S005/001/S005_001_00000011"):
        picture(root / "cohn-kanade-images" / f"{name}.png")
    picture(root / "cohn-kanade-images" / "S010" / "002" / "S010_002_00000014.png")
    (root / "Emotion" / "S010" / "002").mkdir(parents=True)  # most sequences have none
    write(root, "Emotion/S005/001/S005_001_00000011_emotion.txt", "   3.0000000e+00\n")
    write(root, "FACS/S005/001/S005_001_00000011_facs.txt", "   9.0000000e+00   4.0\n   1.7000000e+01   0.0\n")
    write(root, "FACS/S010/002/S010_002_00000014_facs.txt", "   1.0000000e+00   3.0\n")


def disfa(root: Path, clips: Path) -> None:
    shorten(clips / "carphone_pristine.mp4", root / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi", 6)
    for unit in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
        lines = "".join(f"{frame},{frame - 1 if unit == 12 else 0}\n" for frame in range(1, 7))
        write(root, f"ActionUnit_Labels/SN001/SN001_au{unit}.txt", lines)


def bp4d(root: Path) -> None:
    for frame in (2439, 2440, 2441):
        picture(root / "Sequences" / "F001" / "T1" / f"{frame}.jpg")
    write(root, "AUCoding/AU_OCC/F001_T1.csv", "0,1,2,4,12,27\n2440,0,1,0,1,9\n2441,0,0,0,1,9\n")


def aff_wild2(root: Path, clips: Path) -> None:
    for name in ("batch1/1-30-1280x720.mp4", "batch2/5-60-1920x1080-1.mp4", "batch1/video10_1.mp4"):
        shorten(clips / "carphone_pristine.mp4", root / name, 4)
    tasks = {
        "EXPR_Recognition_Challenge": (
            "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
            ["0", "-1", "4", "7"],
        ),
        "VA_Estimation_Challenge": ("valence,arousal", ["-1,0.5", "-5,-5", "0.25,0.1", "0.1,-0.2"]),
        "AU_Detection_Challenge": (
            "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",
            ["0,0,0,0,1,0,0,0,0,0,1,0", ",".join(["-1"] * 12), *[",".join(["0"] * 12)] * 2],
        ),
    }
    for task, (header, lines) in tasks.items():
        text = "\n".join([header, *lines]) + "\n"
        write(root, f"annotations/{task}/Train_Set/1-30-1280x720.txt", text)
        write(root, f"annotations/{task}/Validation_Set/5-60-1920x1080-1.txt", text)
        write(root, f"annotations/{task}/Train_Set/video10_1_left.txt", text)


def expw(root: Path) -> None:
    write(
        root,
        "label/label.lst",
        "afraid_african_214.jpg 0 2 1 6 7 45.2926 2\n"
        "afraid_african_214.jpg 1 0 3 9 8 9.5 6\n"
        "angry_men_1.jpg 0 1 2 8 6 54.7 0\n",
    )
    for name in ("afraid_african_214.jpg", "angry_men_1.jpg"):
        picture(root / "image" / "origin" / name)
