"""Everyday nouns and the emoji that pictures each."""

EMOJI = {
    # animals
    "dog": "🐕", "cat": "🐈", "cow": "🐄", "pig": "🐖", "sheep": "🐑", "horse": "🐎", "elephant": "🐘",
    "koala": "🐨", "panda": "🐼", "fox": "🦊", "lion": "🦁", "tiger": "🐅", "bear": "🐻", "frog": "🐸",
    "monkey": "🐒", "rabbit": "🐇", "mouse": "🐁", "giraffe": "🦒", "zebra": "🦓", "camel": "🐫",
    "kangaroo": "🦘", "penguin": "🐧", "chicken": "🐔", "duck": "🦆", "owl": "🦉", "parrot": "🦜",
    "flamingo": "🦩", "eagle": "🦅", "turtle": "🐢", "snake": "🐍", "crocodile": "🐊", "lizard": "🦎",
    "dinosaur": "🦕", "whale": "🐋", "dolphin": "🐬", "shark": "🦈", "fish": "🐟", "octopus": "🐙",
    "crab": "🦀", "lobster": "🦞", "snail": "🐌", "butterfly": "🦋", "bee": "🐝", "ladybug": "🐞",
    "spider": "🕷", "hedgehog": "🦔", "bat": "🦇", "unicorn": "🦄",
    # plants and nature
    "tree": "🌳", "palm tree": "🌴", "cactus": "🌵", "sunflower": "🌻", "rose": "🌹", "tulip": "🌷",
    "mushroom": "🍄", "leaf": "🍁", "rainbow": "🌈", "moon": "🌙", "star": "⭐", "snowman": "⛄",
    "fire": "🔥",
    # food
    "apple": "🍎", "banana": "🍌", "orange": "🍊", "lemon": "🍋", "strawberry": "🍓", "cherry": "🍒",
    "grapes": "🍇", "watermelon": "🍉", "pineapple": "🍍", "pear": "🍐", "peach": "🍑", "avocado": "🥑",
    "carrot": "🥕", "corn": "🌽", "broccoli": "🥦", "eggplant": "🍆", "tomato": "🍅", "bread": "🍞",
    "cheese": "🧀", "egg": "🥚", "pizza": "🍕", "burger": "🍔", "hot dog": "🌭", "taco": "🌮",
    "donut": "🍩", "cookie": "🍪", "cake": "🎂", "ice cream": "🍦", "candy": "🍬", "coffee": "☕",
    "beer": "🍺", "wine": "🍷",
    # vehicles
    "car": "🚗", "bus": "🚌", "truck": "🚚", "fire truck": "🚒", "police car": "🚓", "taxi": "🚕",
    "tractor": "🚜", "train": "🚂", "bicycle": "🚲", "motorcycle": "🏍", "scooter": "🛵", "boat": "⛵",
    "ship": "🚢", "canoe": "🛶", "airplane": "✈", "helicopter": "🚁", "rocket": "🚀", "balloon": "🎈",
    # things
    "house": "🏠", "tent": "⛺", "castle": "🏰", "bed": "🛏", "couch": "🛋", "chair": "🪑", "door": "🚪",
    "lamp": "💡", "clock": "⏰", "watch": "⌚", "phone": "📱", "laptop": "💻", "keyboard": "⌨",
    "television": "📺", "camera": "📷", "radio": "📻", "book": "📕", "newspaper": "📰", "pencil": "✏",
    "scissors": "✂", "key": "🔑", "lock": "🔒", "hammer": "🔨", "umbrella": "☂", "backpack": "🎒",
    "hat": "🎩", "crown": "👑", "glasses": "👓", "shirt": "👕", "dress": "👗", "shoe": "👟", "boot": "👢",
    "sock": "🧦", "guitar": "🎸", "piano": "🎹", "violin": "🎻", "trumpet": "🎺", "drum": "🥁",
    "soccer ball": "⚽", "basketball": "🏀", "football": "🏈", "tennis ball": "🎾", "teddy bear": "🧸",
    "gift": "🎁", "candle": "🕯", "telescope": "🔭", "microscope": "🔬", "magnet": "🧲", "bell": "🔔",
    "robot": "🤖", "ghost": "👻", "pumpkin": "🎃", "skateboard": "🛹", "trophy": "🏆", "anchor": "⚓",
}
